"""The parts of ``generate-report``.

parameters   the options of a caller
columns      the columns each report type reads, and finding them in a file
source       recognising a file's format and reading its header
dataset      the file's columns, in a database that reaches nothing but the file
facts        typed rows of the chosen columns: dates, amounts, names
period       the days a report covers, and the steps it is divided into
report       from a file to a report
sales, analytics, financial, custom     the figures of each report type
breakdown    long lists, shortened without losing their sum
document     a report as data: key figures, sections, tables, charts
labels, locale                          English and Russian words, numbers and dates
glyphs       the fonts, and a mark for characters that they lack
pdf, charts, workbook                   the document on paper and in a workbook
errors       the errors whose details need putting together
"""
