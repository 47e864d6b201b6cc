"""What is measured, a topic a file: each has `measure`, which gives the text of its section."""
