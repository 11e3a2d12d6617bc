"""Your queues, each with its fleet of workers. To add a queue, add a value."""

from celeriac import Fleet, Queue

DEFAULT = Queue("default")
EMAIL = Queue("email", fleet=Fleet(cpu=256, memory=1024, processes=8, max_workers=5))
FILES = Queue("files", fleet=Fleet(cpu=1024, memory=4096, processes=2, max_workers=20))
REPORTS = Queue("reports", fleet=Fleet(cpu=1024, memory=4096, processes=2))
MAINTENANCE = Queue(
    "maintenance", fleet=Fleet(cpu=256, memory=512, processes=1, max_workers=1, spot=0)
)
