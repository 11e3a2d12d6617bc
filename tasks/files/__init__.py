"""How ``process-file`` looks into each family of files. Heavy libraries are imported in functions.

faults      every error type a file can end in
limits      every number that bounds the work
operations  what a caller may ask for
metadata    what is told about a file
kinds       which kind a file is, from its content
source      a file with what is asked of it; one subclass a family, in:
images, pdfs, tables, workbooks, archives, texts
"""
