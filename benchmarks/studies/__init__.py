"""The studies behind the claims of the documents: each study is a separate command."""
