"""What is the right answer?

Reads questions with known answers, predictions, and labelled texts from the files in which they are published, and
names the place of what is wrong with them. Costs the parsing of a file and its content in memory. May import
``errors``.
"""
