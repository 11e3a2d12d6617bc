"""The helpers that several task types share. Heavy libraries are imported in functions.

faults      the error types that a file can end in
limits      the bounds of archives, sheets and tables
signatures  files that are binary, cut short or encrypted, by their bytes
encodings   the encoding of a text file, and a copy in UTF-8
writing     the options for numbers and dates that can be read in two ways
delimited   the one reader of CSV
jsonlines   the one reader of JSON lines
workbooks   the one reader of XLSX, on ooxml (parts), packages (kinds) and zips (limits)
duckdb      DuckDB in a sandbox, with queries that a signal can interrupt
guard       a ceiling on memory and output, held by the operating system
"""
