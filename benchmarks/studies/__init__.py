"""What backs a claim of the documents: each study is a command of its own."""
