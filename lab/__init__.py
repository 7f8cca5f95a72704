"""The laboratory: hosts, switches, servers, sensors and traffic on one machine.

Everything lives in network namespaces that a Lab makes and removes. The tests,
the benchmarks and the demo speak this vocabulary:

    with Lab() as lab:
        web, ids = lab.server(), lab.sensor()
        lab.engine()
        shop = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids]))
        assert lab.client().get(shop.url).text == "web1\\n"
        assert ids.saw(http="GET /")
"""

from .api import Api, ApiError
from .host import until
from .lab import Lab

__all__ = ["Api", "ApiError", "Lab", "until"]
