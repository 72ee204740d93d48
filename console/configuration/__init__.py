"""What a team keeps in git: the installation's configuration as YAML, written, compared and brought about.

reading, writing   text ↔ plain values with their lines; secrets by the name of an environment variable
kinds, forms       what each kind of row looks like in a file, by the API's own bodies
references         rows by name: client and name, never an id
exporting          rows → document
document           files → one document, with every complaint's place
running            document → changes, done in one transaction or only tried
showing            changes as a person or a program reads them
"""
