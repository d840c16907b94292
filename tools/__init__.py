"""What makes the book: the environment, the execution, the notebooks and the pages."""
