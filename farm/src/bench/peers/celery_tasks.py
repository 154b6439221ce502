"""A noop task, and a producer that says when a worker has taken the last one."""

import os
import sys
import time

from celery import Celery

app = Celery("tasks", broker=os.environ["BENCH_REDIS_URL"] + "/2")
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64)


# Named: for the worker this file is a module, for the producer the program.
@app.task(name="noop")
def noop():
    pass


def produce(count):
    print("ready", flush=True)
    sys.stdin.readline()
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(count):
            noop.apply_async(producer=producer)
    with app.connection_for_read() as connection:
        redis = connection.default_channel.client
        while redis.llen("celery") or redis.hlen("unacked"):
            time.sleep(0.005)
    print("done", flush=True)


if __name__ == "__main__":
    produce(int(sys.argv[1]))
