"""Objectives of training: one implementation each, behind one interface."""
