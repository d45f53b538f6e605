"""Reports: self-contained HTML pages of pictures, tables and text."""

from chainrule.report.page import Picture, Section, Table, page, write_page

__all__ = ["Picture", "Section", "Table", "page", "write_page"]
