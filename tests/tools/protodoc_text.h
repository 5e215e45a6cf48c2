/*
 * tools/protodoc_text.h - the words of docs/protocol.md around what the tables tell.
 */
#ifndef TOOLS_PROTODOC_TEXT_H
#define TOOLS_PROTODOC_TEXT_H

static const char text_head[] =
	"# banger's protocol\n"
	"\n"
	"<!-- Made from proto/*.def by `make docs`; edit those. -->\n"
	"\n"
	"For whoever writes a client in another language. Everything that banger's programs say to\n"
	"each other is a *letter*: a row of one table, the same bytes everywhere.\n"
	"\n"
	"## How a letter looks\n"
	"\n"
	"The wire is [MessagePack-RPC](https://github.com/msgpack-rpc/msgpack-rpc/blob/master/spec.md)\n"
	"over a stream socket: one msgpack array behind the other, nothing between them. The daemon\n"
	"listens on `bangerd.sock` in its runtime directory: `$BANGER_RUNTIME_DIR`, else the system's\n"
	"`/run/banger`, else `$XDG_RUNTIME_DIR/banger`. Only its owner and root may connect.\n"
	"\n"
	"| | |\n"
	"|---|---|\n"
	"| request | `[0, msgid, method, [params]]` |\n"
	"| response | `[1, msgid, error, result]` |\n"
	"| notification | `[2, method, [params]]` |\n"
	"\n"
	"- `params` is one map with str keys; `[]` means `[{}]`. `result` is a map too.\n"
	"- `msgid` is chosen by who asks: an unsigned 32-bit number that is not in flight.\n"
	"- Integers may come in any width that holds the value.\n"
	"- Requests are served concurrently and answered in any order: match answers by `msgid`.\n"
	"  At most 256 may be in flight on one connection, each way; one more is answered `busy`.\n"
	"- A frame is at most 1 MiB (64 KiB towards the root helper) and 16 containers deep.\n"
	"- Either side may send requests and notifications at any time.\n"
	"\n"
	"**Malformed closes the connection**, with a line in the daemon's log and no answer: bytes\n"
	"that are not msgpack, a frame over its ceiling, an ext type, anything but a 3- or 4-array of\n"
	"type 0, 1 or 2, a bad msgid, a method that is no str of at most 64 bytes, params that are\n"
	"neither `[]` nor `[map]`, an answer that nobody asked for, more stream data than was granted.\n"
	"\n"
	"**All else is answered with an error** and the connection lives: an unknown method; an\n"
	"unknown, missing or repeated field; a wrong type; NUL or invalid UTF-8 in a str; a number out\n"
	"of range. Requests are read strictly. Read results and notifications leniently: pass over keys\n"
	"that you do not know, since newer daemons send more.\n"
	"\n"
	"An operation (`vm.create.begin`, `image.import`) belongs to the connection that began it. When\n"
	"that closes it is cancelled and undone, unless it was begun with `detach: true`.\n"
	"\n"
	"## Errors\n"
	"\n";

static const char text_errors[] =
	"`error` is nil, or a map `{code, message, field?, hint?}`: a word of this table, a sentence for\n"
	"people, the offending key, and what to do next. New words may come, none is renamed.\n"
	"\n";

static const char text_example[] =
	"\n"
	"## A client, whole\n"
	"\n"
	"```python\n"
	"import msgpack, os, socket\n"
	"\n"
	"class Banger:\n"
	"    def __init__(self, path):\n"
	"        self.socket = socket.socket(socket.AF_UNIX)\n"
	"        self.socket.connect(path)\n"
	"        self.reader = msgpack.Unpacker()\n"
	"        self.msgid = 0\n"
	"\n"
	"    def frames(self):\n"
	"        while True:\n"
	"            for frame in self.reader:\n"
	"                yield frame\n"
	"            data = self.socket.recv(65536)\n"
	"            if not data:\n"
	"                raise ConnectionError('the daemon closed the connection')\n"
	"            self.reader.feed(data)\n"
	"\n"
	"    def ask(self, method, **params):\n"
	"        self.msgid += 1\n"
	"        self.socket.sendall(msgpack.packb([0, self.msgid, method, [params]]))\n"
	"        for frame in self.frames():\n"
	"            if frame[0] == 1 and frame[1] == self.msgid:\n"
	"                if frame[2] is not None:\n"
	"                    raise RuntimeError(frame[2]['code'] + ': ' + frame[2]['message'])\n"
	"                return frame[3]\n"
	"\n"
	"    def tell(self, method, **params):\n"
	"        self.socket.sendall(msgpack.packb([2, method, [params]]))\n"
	"\n"
	"banger = Banger(os.environ['BANGER_RUNTIME_DIR'] + '/bangerd.sock')\n"
	"print(banger.ask('ping')['version'])\n"
	"print([vm['name'] for vm in banger.ask('vm.list')['vms']])\n"
	"\n"
	"# Run a program in the machine `calm-otter` and print what it says.\n"
	"stream = banger.ask('vm.exec', vm='calm-otter', argv=['uname', '-a'], stdin=False)['stream']\n"
	"for frame in banger.frames():\n"
	"    if frame[0] != 2 or frame[2][0].get('stream') != stream:\n"
	"        continue\n"
	"    method, params = frame[1], frame[2][0]\n"
	"    if method == 'stream.end':\n"
	"        break\n"
	"    if method == 'stream.data' and params['data']:\n"
	"        print(params['data'].decode(), end='')\n"
	"        banger.tell('stream.credit', stream=stream, ch=params['ch'],\n"
	"                    bytes=len(params['data']))\n"
	"```\n"
	"\n"
	"On a stream each channel begins with room for 256 KiB; who reads grants more with\n"
	"`stream.credit`, and who writes more than was granted is malformed. `data` is 1 to 32,768\n"
	"bytes, and empty data ends that channel. `stream.end` comes once and last.\n";

static const char text_types[] =
	"\n"
	"## Types\n"
	"\n"
	"A field's type carries its range and check. Lengths are bytes; a str is UTF-8 without NUL.\n"
	"\n";

static const char text_words[] =
	"\n"
	"## Words\n"
	"\n"
	"A field of one of these types is a str that is one of the words.\n"
	"\n";

static const char text_letters[] =
	"\n"
	"## Letters\n"
	"\n"
	"A map's *range* is empty where the type says it all. A field that is not *needed* may be left\n"
	"out; it is never nil.\n";

static const char text_records[] =
	"\n"
	"## Records and files\n"
	"\n"
	"Letters at rest: what the store keeps, packed the same way, checked when written and when read;\n"
	"and what is read from files, by the same tables. Records are no interface: ask the daemon.\n";

#endif
