"""Write units to a database and acknowledge each in the fsync shim's own list of events; see `power_cuts`.

Arguments: the database, the durability, how many units. In the middle it is closed and opened again.
"""

import asyncio
import faulthandler
import os
import sys

from sqlite_units import opened, write_in_tasks


def acknowledge(unit):
    with open(os.path.join(os.environ["FSYNC_SHIM"], "events"), "a") as events:
        events.write(f"acknowledged\tunit\t{unit}\n")


async def main(path, durability, count):
    half = int(count) // 2
    for numbers in (iter(range(half)), iter(range(half, int(count)))):
        async with opened("AsyncDatabase", path, durability) as db:
            await write_in_tasks(db, numbers, acknowledge)
            await db.maintain()


faulthandler.dump_traceback_later(60, exit=True)
asyncio.run(main(*sys.argv[1:]))
