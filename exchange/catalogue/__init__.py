"""What the hub lists, as data: the files, and how they become contracts, instruments and trading days. RULEBOOK 14.

    instruments = load_catalogue()                           # four months of each family, open at once
    catalogue = read_catalogue(profile="chinese")            # every contract until the horizon, for a schedule
    catalogue.instruments                                    # as the engine takes them; those listed later are UNLISTED

In data/:
sc.json, lu.json ...   a product family: its terms and the dates from which they hold (terms.py)
hub.json               the day on which the hub opens, its first delivery month, its horizon
sessions.json          phases of a trading day, by Beijing time (venue.py)
profiles.json          the rules of a venue: chinese or international (venue.py)
calendar.json          public holidays (calendar.py)

entries.py reads the files strictly, contracts.py computes the contracts, schedule.py the commands of each trading day, and
driver.py gives them out as time passes.

Every number in the files has a grade and a source. The rules and terms of the Qingdao exchange are not public; these are
modelled on comparable venues.
"""

from exchange.catalogue.contracts import CATALOGUE, Catalogue, Contract, Kind, load_catalogue, read_catalogue

__all__ = ["CATALOGUE", "Catalogue", "Contract", "Kind", "load_catalogue", "read_catalogue"]
