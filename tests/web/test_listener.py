from __future__ import annotations

import pytest

from rulepush.web.listener import address_of, bind


@pytest.mark.parametrize(("address", "shown"), [("127.0.0.1:0", "127.0.0.1:{}"), ("[::1]:0", "[::1]:{}")])
def test_the_address_of_a_socket_can_be_used_in_a_url(address: str, shown: str) -> None:
    with bind(address) as listener:
        assert address_of(listener) == shown.format(listener.getsockname()[1])
