"""The configuration that a journal belongs to."""

import pytest

from exchange.catalogue import load_catalogue, read_catalogue
from exchange.participants.scenario import demo_accounts
from gateway.config import configuration_hash

# As hubs of 0.2.1 wrote them into their journals.
OPEN = "5031b8b8edbb6fbc929c1f77fafaa143c7c7a91b715ebe46c49c8ea889944848"
CHINESE = "8906c25b5c40083fc911f60a7b9f8953e78da2f36a88e419cd8f692ccba14457"
INTERNATIONAL = "d3cf2a33db31d2b2485711056205ad162277e33ba93ea04ffa0903f29ec4d371"


@pytest.mark.parametrize("profile, expected", [(None, OPEN), ("chinese", CHINESE), ("international", INTERNATIONAL)])
def test_a_data_folder_of_0_2_1_belongs_to_the_same_configuration(profile: str | None, expected: str) -> None:
    instruments = load_catalogue() if profile is None else read_catalogue(profile=profile).instruments
    assert configuration_hash(instruments, demo_accounts(), 1 << 16).hex() == expected
