"""Does the one guarded way to the network keep its promises, against servers that do not?"""
