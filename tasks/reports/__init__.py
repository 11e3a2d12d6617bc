"""What ``generate-report`` is made of.

parameters   what a caller may ask for
columns      the columns each report type reads, and finding them in a file
source       recognising a file's format and reading its header
database     DuckDB within bounds
dataset      the file's columns, in a database that can reach nothing else
facts        typed rows of the chosen columns: dates, amounts, names
period       the days a report covers, and the steps it is divided into
report       from a file to a report
sales, analytics, financial, custom     the figures of each report type
breakdown    long lists, cut without losing their sum
document     a report as data: key figures, sections, tables, charts
labels, formats                         English and Russian words, numbers and dates
pdf, charts, workbook                   the document on paper and in a workbook
errors       every way a report can fail
"""
