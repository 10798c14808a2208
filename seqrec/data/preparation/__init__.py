"""From a log to a prepared folder: filters, order, numbers, split, counts."""
