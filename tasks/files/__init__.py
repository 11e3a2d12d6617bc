"""How ``process-file`` reads each family of files. Heavy libraries are imported in functions.

limits      every number that bounds the work
operations  what a caller may ask for
metadata    what the result says about a file
kinds       recognising the kind of a file from its content
source      a file and the operations on it; one subclass for each family, in:
images, pdfs, tables, workbooks, archives, texts
"""
