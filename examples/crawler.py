"""A crawler of three actors, from a local site into SQLite; Ctrl-C ends it, and loses nothing.

Pages go one way: the fetcher tells the parser, which tells the writer. Each mailbox is bounded, so
that a slow stage slows down the one before it, up to the loop that feeds the fetcher.
"""

import asyncio
import signal
import sqlite3
import sys
from html.parser import HTMLParser

from futures_actors import ProcessActor, ThreadActor

AT_ONCE = 100


class Fetcher(ProcessActor, max_concurrency=AT_ONCE, mailbox_size=50):
    """Fetches a hundred pages at a time, on the event loop of its process."""

    def __init__(self, address, parser):
        self.address, self.parser = address, parser

    async def on_start(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main program

    async def handle(self, path):
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        page = path, answer.partition(b"\r\n\r\n")[2].decode()
        await asyncio.to_thread(self.parser.tell, page)  # waits for room there


class Parser(ProcessActor, mailbox_size=20):
    """Reads titles and links out of pages: work for a core of its own."""

    def __init__(self, writer):
        self.writer = writer

    def on_start(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def handle(self, page):
        path, text = page
        found = Page()
        found.feed(text)
        self.writer.tell((path, found.title, found.links))


class Page(HTMLParser):
    """What is in a page."""

    title, links = "", 0

    def handle_starttag(self, tag, _attributes):
        self.links += tag == "a"

    def handle_data(self, data):
        if self.lasttag == "title":
            self.title += data


class Writer(ThreadActor, mailbox_size=20):
    """Owns the database: a connection may be used by one thread only."""

    def __init__(self, path):
        self.database = sqlite3.connect(path)
        self.database.execute("CREATE TABLE pages (path PRIMARY KEY, title, links)")

    def handle(self, row):
        self.database.execute("INSERT INTO pages VALUES (?, ?, ?)", row)
        self.database.commit()

    def count(self):
        return self.database.execute("SELECT count(*), sum(links) FROM pages").fetchone()


class Site(ThreadActor):
    """The site to crawl: a server on this machine, on the event loop of an actor's thread."""

    async def on_start(self):
        self.waiting, self.all_here = 0, asyncio.Event()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=AT_ONCE)

    def address(self):
        return self.server.sockets[0].getsockname()

    async def serve(self, reader, writer):
        path = (await reader.readline()).split()[1].decode()
        # The first hundred get their pages when all of them are here.
        self.waiting += 1
        if self.waiting == AT_ONCE:
            self.all_here.set()
        await self.all_here.wait()
        page = f"<title>Page {path}</title>" + "<a href='/'>home</a>" * 3
        writer.write(f"HTTP/1.0 200 OK\r\n\r\n{page}".encode())
        await writer.drain()
        writer.close()

    async def on_stop(self):
        self.server.close()


def main(pages):
    with Site.executor() as site, Writer.executor(":memory:") as writer:
        address = site.proxy().address().result()
        with Parser.executor(writer) as parser, Fetcher.executor(address, parser) as fetcher:
            try:
                for number in range(pages):
                    fetcher.tell(f"/{number}")  # waits for room
                    if number == AT_ONCE:
                        print("crawling; Ctrl-C ends it", flush=True)
            except KeyboardInterrupt:
                print("no more pages; those that were accepted are finished")
        # The blocks have ended from the inside out: fetcher, parser, and now the writer.
        written, links = writer.proxy().count().result()
    print(f"pages accepted: {fetcher.stats().told}, written: {written}, links: {links}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 500)
