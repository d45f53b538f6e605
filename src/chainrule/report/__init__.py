"""Reports: self-contained HTML pages of pictures, tables and text."""

from chainrule.report.page import Picture, Section, Table, check_file, page, write_page

__all__ = ["Picture", "Section", "Table", "check_file", "page", "write_page"]
