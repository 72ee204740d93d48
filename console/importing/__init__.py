"""How does a team move here from another tool? Its own export becomes a configuration document, with a report of every item.

draft        the document in the making: names, limits, secrets by variable, one line of report per item
kuma…        Uptime Kuma: backup JSON of 1.x, kuma.db of 1.x and 2.x
healthchecks the answer of its API's list of checks
gatus…       its YAML
moving       what the three commands share: write the document, or plan and apply it
"""
