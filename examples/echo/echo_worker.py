"""The smallest worker: what the pool's Python processes run."""

import slotring


@slotring.handler
def echo(request):
    """Returns its request."""
    return request
