"""What the hub lists, as data: one file a product family, and how the files become contracts and instruments.

    instruments = load_catalogue()                           # four months of each family, open at once
    catalogue = read_catalogue(profile="chinese")            # every contract until the horizon, for a schedule
    catalogue.instruments                                    # the same as the engine wants them: the later ones UNLISTED

sc.json, lu.json ...   a product family: terms with the dates from which they hold (families.py)
hub.json               the day the hub opens, its first delivery month, its horizon
sessions.json          phases of a trading day, by Beijing time
profiles.json          what a venue is like: chinese or international (venue.py)
calendar.json          public holidays (exchange/catalogue/calendar.py)

contracts.py says which contracts follow from that. Every number in the files has a grade and a source. The rules and terms
of the Qingdao exchange are not public; these are modelled on comparable venues. RULEBOOK 14.
"""

from exchange.catalogue.contracts import CATALOGUE, Catalogue, Contract, Kind, load_catalogue, read_catalogue

__all__ = ["CATALOGUE", "Catalogue", "Contract", "Kind", "load_catalogue", "read_catalogue"]
