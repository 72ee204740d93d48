"""How does an assistant work here? The Model Context Protocol over streamable HTTP, with the API's own tokens and tenancy."""
