"""The bodies of `actors` as Ray actors: `RayDo`, `RayCounter`, ... Importable on every node."""

import actors
from futures_actors.ray import RayActor

for _body in actors.BODIES:
    globals()[f"Ray{_body.__name__}"] = type(
        f"Ray{_body.__name__}", (_body, RayActor), {"__module__": __name__}
    )
