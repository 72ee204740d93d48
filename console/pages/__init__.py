"""The pages that people see; one module a page, each with its view and the fragment that keeps it fresh."""
