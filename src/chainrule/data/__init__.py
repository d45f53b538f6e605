"""Data sets, splits, checks, and tables of numbers and categories made into arrays."""

from chainrule.data.checks import check_data
from chainrule.data.datasets import Dataset
from chainrule.data.preprocess import Column, Preprocessor
from chainrule.data.split import split, split_rows
from chainrule.data.table import read_table
from chainrule.data.target import TargetEncoder, infer_task

__all__ = [
    "Column",
    "Dataset",
    "Preprocessor",
    "TargetEncoder",
    "check_data",
    "infer_task",
    "read_table",
    "split",
    "split_rows",
]
