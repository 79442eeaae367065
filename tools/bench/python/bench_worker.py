"""What `slotring bench` has its workers run."""

import slotring


@slotring.handler
def echo(request):
    return request
