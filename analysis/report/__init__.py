"""The HTML report of finished runs, and their tables as files."""

from analysis.report.export import write_tables as write_tables
from analysis.report.page import MOST_WHOLE_RUNS as MOST_WHOLE_RUNS
from analysis.report.page import write_report as write_report
from analysis.report.view import FIGURES as FIGURES
