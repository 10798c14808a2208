"""Printed lines, tables, plots and HTML pages, made from results and plain rows."""
