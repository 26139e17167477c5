"""What clients do with each application, and the lines that they write, which must be the same however it is served."""

import dataclasses
import io
import json
import os
import re
import typing
import zipfile
from base64 import b64encode

from client import Client


def litmus(client):
    suites = "basic locks" if client.short else "basic copymove props locks http"
    env = ["/usr/bin/env", f"TESTS={suites}"]
    text = client.run(*env, "/usr/bin/litmus", "-k", client.url, check=False)
    # A line that a terminal would show in place appears twice.
    for line in text.splitlines():
        if re.search(r"pass$|FAIL|WARNING|summary|SKIPPED", line):
            client.say(re.sub(r"\(.*127\.0\.0\.1.*\)", "(...)", line.strip()))


def wsgidav(client):
    body = bytes(range(256)) * 400
    client.say("PUT", client.ask("PUT", "a%20file.bin", body)[0])
    status, head, content = client.ask("GET", "a%20file.bin")
    client.say("GET", status, head["Content-Length"], content == body)
    status, head, content = client.ask("GET", "a%20file.bin", Range="bytes=100000-100009")
    client.say("GET", status, head["Content-Range"], content.hex())
    client.say("MKCOL", client.ask("MKCOL", "folder")[0])
    client.at_once(lambda n: client.ask("PUT", f"folder/{n}", b"%d" % n * 5000), lambda answer: "")
    text = client.ask("PROPFIND", "folder/", Depth="1")[2].decode()
    client.say("listed:", sorted(re.findall(r"<ns0:href>([^<]*)|<[^<]*href>([^<]*)<", text)))
    sizes = [len(client.ask("GET", f"folder/{n}")[2]) for n in range(0, client.count, 8)]
    client.say("sizes:", sizes)
    client.say("DELETE", client.ask("DELETE", "folder/")[0], client.ask("GET", "folder/")[0])


def git(client):
    url = client.url + "project"
    for n in range(3):
        place = os.path.join(client.place, f"clone{n}")
        client.run("git", "clone", "--quiet", url, place)
        with open(os.path.join(place, f"file{n}"), "w") as file:
            file.write(f"{n}\n" * 20000)
        os.chmod(place, 0o777)
        git = ["git", "-C", place, "-c", "safe.directory=*"]
        client.run(*git, "add", ".")
        client.run(*git, "commit", "--quiet", "-m", f"change {n}")
        client.run(*git, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    client.run("git", "clone", "--quiet", url, os.path.join(client.place, "last"))
    client.say(client.run("git", "-C", os.path.join(client.place, "last"), "log", "--stat"))
    client.say(client.run("git", "ls-remote", url))
    status, _, page = client.ask("GET", "project/tree/main/")
    client.say("page", status, sorted(set(re.findall(rb"file\d", page))))
    client.at_once(lambda n: client.ask("GET", "project/info/refs?service=git-upload-pack"))


def prepare_git(client):
    repository = os.path.join(client.data, "project.git")
    client.run("git", "init", "--quiet", "--bare", "--initial-branch=main", repository)


def hg(client):
    user = ["-u", "a", "-d", "1700000000 0"]
    for n in range(3):
        place = os.path.join(client.place, f"clone{n}")
        client.run("hg", "clone", client.url, place)
        client.run("sh", "-c", f"seq {n} 20000 > {place}/file{n}")
        client.run("hg", "-R", place, "commit", "-A", "-m", f"change {n}", *user)
        client.say(re.sub(r"127.0.0.1:\d+", "HOST", client.run("hg", "-R", place, "push")))
    place = os.path.join(client.place, "last")
    client.run("hg", "clone", client.url, place)
    client.say(client.run("hg", "-R", place, "log", "--stat"))
    client.say(client.run("hg", "-R", place, "verify"))
    client.at_once(lambda n: client.ask("GET", f"file/tip/file{n % 3}?style=raw"))


def prepare_hg(client):
    repository = os.path.join(client.data, "repository")
    client.run("hg", "init", repository)
    with open(os.path.join(client.data, "hgweb.conf"), "w") as file:
        file.write(f"[paths]\n/ = {repository}\n[web]\npush_ssl = false\nallow_push = *\n")


def wheel(client, name, version, module):
    """A wheel with the same bytes each time."""
    made = io.BytesIO()
    about = f"{name}-{version}.dist-info"
    text = {
        f"{name}.py": module,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": "",
    }
    text[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in text)
    with zipfile.ZipFile(made, "w") as archive:
        for path, content in text.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), content)
    path = os.path.join(client.place, f"{name}-{version}-py3-none-any.whl")
    with open(path, "wb") as file:
        file.write(made.getvalue())
    return path


def pypi(client):
    for version in ("1.0", "2.0"):
        path = wheel(client, "made_here", version, f"VERSION = '{version}'\n" + "#" * 300_000)
        account = ["--non-interactive", "-u", "a", "-p", "b", "--disable-progress-bar"]
        text = client.run("twine", "upload", *account, "--repository-url", client.url, path)
        client.say("twine:", "200" in text or "Uploading" in text)
    for wanted in ("made_here<2", "made_here"):
        target = os.path.join(client.place, "target" + str(len(wanted)))
        pip = ["python", "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir"]
        pip += ["install", "--no-deps", "--index-url", client.url + "simple/", "--target", target]
        client.run(f"{client.bin}/python", *pip[1:], wanted)
        shown = "import made_here; print(made_here.VERSION)"
        client.say(wanted, client.run(f"{client.bin}/python", "-c", shown, cwd=target))
    listed = client.ask("GET", "simple/made-here/")[2]
    client.say("listed:", sorted(re.findall(rb"sha256=\w+", listed)))
    client.at_once(lambda n: client.ask("GET", "packages/made_here-2.0-py3-none-any.whl"))


CALDAV = """
import sys, datetime, caldav
client = caldav.DAVClient(sys.argv[1], username="a", password="a")
principal = client.principal()
calendar = principal.make_calendar(name="Work", cal_id="work")
utc = datetime.timezone.utc
for day in range(1, 6):
    calendar.save_event(
        "BEGIN:VCALENDAR\\r\\nVERSION:2.0\\r\\nPRODID:x\\r\\nBEGIN:VEVENT\\r\\n"
        f"UID:event-{day}\\r\\nDTSTAMP:20260101T000000Z\\r\\nDTSTART:2026010{day}T090000Z\\r\\n"
        f"DTEND:2026010{day}T100000Z\\r\\nSUMMARY:Day {day}\\r\\nEND:VEVENT\\r\\nEND:VCALENDAR\\r\\n"
    )
def summaries(events):
    return sorted(str(event.icalendar_component["summary"]) for event in events)
found = calendar.search(
    start=datetime.datetime(2026, 1, 2, tzinfo=utc),
    end=datetime.datetime(2026, 1, 5, tzinfo=utc),
    event=True,
)
print("found", summaries(found))
event = calendar.event_by_uid("event-3")
event.icalendar_component["summary"] = "Moved"
event.save()
calendar.event_by_uid("event-5").delete()
print("all", summaries(calendar.events()))
print("calendars", [calendar.name for calendar in principal.calendars()])
"""


def caldav(client):
    client.say(client.run(f"{client.bin}/python", "-c", CALDAV, client.url))
    password = {"Authorization": "Basic " + b64encode(b"a:a").decode()}

    def put(n):
        event = (
            f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:at-once-{n}\r\n"
            "DTSTAMP:20260101T000000Z\r\nDTSTART:20260201T000000Z\r\nSUMMARY:At once\r\n"
            "END:VEVENT\r\nEND:VCALENDAR\r\n"
        )
        return client.ask("PUT", f"a/work/at-once-{n}.ics", event, **password)

    client.at_once(put)
    kept = client.ask("GET", "a/work/", **password)[2]
    client.say("kept:", sorted(set(re.findall(rb"UID:[\w-]+", kept))))


def zope(client):
    admin = {"Authorization": "Basic " + b64encode(b"admin:secret").decode()}
    for n in range(6 if client.short else 12):
        form = {"id": f"folder{n}", "title": f"Folder {n}"}
        client.say("created", client.ask("POST", "manage_addFolder", form, **admin)[0])
    status, _, listed = client.ask("GET", "manage_main", **admin)
    client.say("there are", status, sorted(set(re.findall(rb"folder\d+", listed))))
    client.at_once(
        lambda n: client.ask("GET", f"folder{n % 6}/manage_propertiesForm", **admin),
        lambda answer: re.findall(rb"Folder \d", answer[2])[:1],
    )


def prepare_zope(client):
    make = os.path.join(client.bin, "mkwsgiinstance")
    client.run(make, "--dir", client.data, "--user", "admin:secret")


def wagtail(client):
    client.ask("GET", "admin/login/")
    login = {"username": "admin", "password": "secret"}
    login |= {"csrfmiddlewaretoken": client.cookies["csrftoken"], "next": ""}
    client.say("login", client.ask("POST", "admin/login/", login)[0])
    status, _, page = client.ask("GET", "admin/")
    client.say("dashboard", status, b"Wagtail" in page)
    token = client.cookies["csrftoken"]
    for n in range(3):
        form = {"csrfmiddlewaretoken": token, "name": f"Collection {n}", "parent": "1"}
        client.say("added", client.ask("POST", "admin/collections/add/", form)[0])
    page = client.ask("GET", "admin/collections/")[2]
    client.say("collections", sorted(set(re.findall(rb"Collection \d", page))))
    client.say("front page", client.ask("GET", "")[0])
    show = client.ask("GET", "api/pages/")
    client.say("api", show[0], [page["title"] for page in json.loads(show[2])["items"]])
    client.at_once(lambda n: client.ask("GET", "api/pages/"))


def prepare_wagtail(client):
    """Makes the database once for all ways, because of its 300 migrations."""
    made = os.path.join(client.server.tools["shared"], "wagtail.sqlite3")
    database = os.path.join(client.data, "db.sqlite3")
    with client.server.tools["lock"]:
        if not os.path.exists(made):
            client.run(f"{client.bin}/python", f"{client.server.sites}/wagtail_site.py")
            client.run("cp", database, made)
    client.run("cp", made, database)


def trac(client):
    def form(path):
        page = client.ask("GET", path)[2].decode()
        return re.search(r'name="__FORM_TOKEN" value="(\w+)"', page).group(1)

    for n in range(3):
        ticket = {"field_summary": f"Ticket {n}", "field_description": "text " * 100}
        ticket |= {"__FORM_TOKEN": form("newticket"), "submit": "Create ticket"}
        status, head, _ = client.ask("POST", "newticket", ticket)
        client.say("ticket", status, head["Location"])
    page = {"__FORM_TOKEN": form("wiki/NewPage?action=edit"), "action": "edit", "version": "0"}
    page |= {"text": "= Made here =", "save": "Submit changes"}
    client.say("page", client.ask("POST", "wiki/NewPage", page)[0])
    client.say("wiki", b"Made here" in client.ask("GET", "wiki/NewPage")[2])
    table = client.ask("GET", "query?format=csv&col=id&col=summary&order=id")[2].decode()
    client.say(table.lstrip("\ufeff"))
    client.at_once(lambda n: client.ask("GET", "wiki/NewPage?format=txt"))


def prepare_trac(client):
    project = os.path.join(client.data, "project")
    admin = os.path.join(client.bin, "trac-admin")
    client.run(admin, project, "initenv", "Project", "sqlite:db/trac.db")
    rights = ["TICKET_CREATE", "WIKI_CREATE"]
    client.run(admin, project, "permission", "add", "anonymous", *rights)


def dash(client):
    status, _, layout = client.ask("GET", "_dash-layout")
    client.say("layout", status, json.loads(layout)["props"]["children"][0]["props"]["value"])

    def call(n):
        asked = {
            "output": "square.children",
            "outputs": {"id": "square", "property": "children"},
            "inputs": [{"id": "number", "property": "value", "value": n}],
            "changedPropIds": ["number.value"],
            "state": [],
        }
        asked = json.dumps(asked)
        return client.ask("POST", "_dash-update-component", asked, Content_Type="application/json")

    client.say(call(12)[2].decode())
    page = client.ask("GET", "")[2].decode()
    for path in re.findall(r'src="/dash/(_dash-component-suites/dash/deps/[^"]*)"', page):
        status, _, content = client.ask("GET", path)
        path = re.sub(r"\.v[\w_]+?m\d+", "", path)
        client.say(status, path, len(content))
    client.at_once(call, lambda answer: answer[2].decode().strip())


def cherrypy(client):
    client.say("visits", [client.ask("GET")[2].decode() for _ in range(5)])
    client.at_once(lambda n: client.ask("GET"), lambda answer: "")
    client.say("visit", client.ask("GET")[2].decode())


def webpy(client):
    client.say("visits", [client.ask("GET")[2].decode() for _ in range(5)])
    client.cookies.clear()
    client.at_once(
        lambda n: Client(client.server, client.name, client.short).ask("GET"),
        lambda answer: answer[2].decode(),
    )
    client.say("visits", [client.ask("GET")[2].decode() for _ in range(2)])


@dataclasses.dataclass
class Application:
    name: str
    title: str
    module: str
    drive: typing.Callable
    packages: list
    tried: str
    # Makes the application's data before the first request.
    prepare: typing.Callable = None
    # What an operator has to know.
    know: str = ""
    # Whether it is part of the short form.
    short: bool = True


APPLICATIONS = [
    Application(
        "litmus",
        "WsgiDAV, locks and properties in shelves",
        "wsgidav_in_shelves",
        litmus,
        ["WsgiDAV"],
        "litmus, the test suite of WebDAV",
        know="Make the WsgiDAVApp at the import, but open the shelves at the request, as the site here does: one that "
        "the import opens would be shared by all requests of a zygote. Only one process can have a shelf of GNU dbm open: two requests at once are an error "
        "of WsgiDAV's, however it is served. cgi2wsgi sends the last byte of a response when the shelves are closed, so "
        "that a client can ask again at once; under CGIHandler this site has to wait for locked shelves.",
    ),
    Application(
        "wsgidav",
        "WsgiDAV with its defaults",
        "wsgidav_plain",
        wsgidav,
        ["WsgiDAV"],
        "files of 100 KB up and down, ranges, 40 files at once",
        know="Its locks are in memory, so that a lock ends with its request: clients that lock (Office, the Finder) "
        "need the locks in a shelf or in Redis.",
    ),
    Application(
        "git",
        "klaus",
        "klaus_site",
        git,
        ["klaus", "dulwich"],
        "git: clone, commit, push, fetch; pages",
        prepare_git,
        know="`--timeout` and the server's own limit of time must leave room for a large clone.",
    ),
    Application(
        "hg",
        "hgweb",
        "hgweb_site",
        hg,
        ["mercurial"],
        "hg: clone, commit, push, verify",
        prepare_hg,
    ),
    Application(
        "pypi",
        "pypiserver",
        "pypiserver_site",
        pypi,
        ["pypiserver", "twine", "pip"],
        "twine uploads two versions, pip installs each",
    ),
    Application(
        "radicale",
        "Radicale",
        "radicale_site",
        caldav,
        ["Radicale", "caldav"],
        "the caldav client: a calendar, events, a search, a change, a deletion; 40 events at once",
        know="Its storage is locked by a file that each request opens itself, so processes do not disturb each other.",
    ),
    Application(
        "zope",
        "Zope, FileStorage",
        "zope_site",
        zope,
        ["Zope", "ZODB"],
        "folders are added and listed",
        prepare_zope,
        know="A FileStorage is open in one process at a time. The site takes a lock of its own before it starts Zope, "
        "so that requests wait for each other; without that, all but one of them fail. `--warm` gains nothing: requests "
        "cannot share what the import locks and opens, and each change of Data.fs, which the import has read, would "
        "need another zygote. For more than a few visitors use ZEO or RelStorage.",
    ),
    Application(
        "wagtail",
        "Wagtail",
        "wagtail_site",
        wagtail,
        ["wagtail", "Django"],
        "login, dashboard, forms, API",
        prepare_wagtail,
        short=False,
    ),
    Application(
        "trac",
        "Trac",
        "trac_site",
        trac,
        ["Trac"],
        "tickets and a wiki page are made and listed",
        prepare_trac,
    ),
    Application(
        "dash",
        "Dash",
        "dash_site",
        dash,
        ["dash", "Flask"],
        "layout, scripts, callbacks",
    ),
    Application(
        "cherrypy",
        "CherryPy, sessions in files",
        "cherrypy_site",
        cherrypy,
        ["CherryPy"],
        "one session counts 46 visits, 40 of them at once",
    ),
    Application(
        "webpy",
        "web.py, sessions in a shelf",
        "webpy_site",
        webpy,
        ["web.py"],
        "sessions count their visits; 40 sessions at once",
        know="Open the shelf at the request, and wait for one that another process has open.",
    ),
]
