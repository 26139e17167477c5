//! Files and directories that appear, change or go after the import, whichever call the import used to look for them.

use std::fs;

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "an optional configuration file that appears is read",
        files: &[],
        code: "try:\n    SETTING = open(HERE / 'config.ini').read()\nexcept FileNotFoundError:\n    \
               SETTING = 'none'\n",
        before: "none",
        change: |site| site.write("config.ini", "configured"),
        after: "configured",
    },
    Case {
        name: "the second file that configparser looks for is read when it appears",
        files: &[("default.ini", "[site]\nsetting = default\n")],
        code: "import configparser\nparser = configparser.ConfigParser()\n\
               parser.read([HERE / 'default.ini', HERE / 'local.ini'])\nSETTING = parser['site']['setting']\n",
        before: "default",
        change: |site| site.write("local.ini", "[site]\nsetting = local\n"),
        after: "local",
    },
    Case {
        name: "a file is read when it appears in a directory that was not there",
        files: &[],
        code: "try:\n    SETTING = open(HERE / 'etc/site/config.ini').read()\nexcept FileNotFoundError:\n    \
               SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir_all(site.path("new/site"))?;
            site.write("new/site/config.ini", "configured")?;
            Ok(fs::rename(site.path("new"), site.path("etc"))?)
        },
        after: "configured",
    },
    Case {
        name: "the target of a symbolic link is read when it appears",
        files: &[],
        code: "try:\n    SETTING = open(HERE / 'config.ini').read()\nexcept FileNotFoundError:\n    \
               SETTING = 'none'\n(HERE / 'config.ini').is_symlink() or (HERE / 'config.ini').symlink_to('target')\n",
        before: "none",
        change: |site| site.write("target", "configured"),
        after: "configured",
    },
    Case {
        name: "a file that appears in a listed directory is seen",
        files: &[("plugins/one", "")],
        code: "import os\nSETTING = ' '.join(sorted(os.listdir(HERE / 'plugins')))\n",
        before: "one",
        change: |site| site.write("plugins/two", ""),
        after: "one two",
    },
    Case {
        name: "the removal of a file from a scanned directory is seen",
        files: &[("plugins/one", ""), ("plugins/two", "")],
        code: "import os\nSETTING = ' '.join(sorted(entry.name for entry in os.scandir(HERE / 'plugins')))\n",
        before: "one two",
        change: |site| Ok(fs::remove_file(site.path("plugins/two"))?),
        after: "one",
    },
    Case {
        name: "a new file that matches a pattern of glob is seen",
        files: &[("conf.d/one.ini", "1")],
        code: "import glob\nSETTING = ' '.join(open(name).read() for name in sorted(glob.glob(str(HERE / '*.d/*.ini'))))\n",
        before: "1",
        change: |site| site.write("conf.d/two.ini", "2"),
        after: "1 2",
    },
    Case {
        name: "a new file in another directory that matches a pattern of pathlib is seen",
        files: &[("conf/one/site.ini", "1"), ("conf/two/data.txt", "")],
        code: "SETTING = ' '.join(file.read_text() for file in sorted(HERE.glob('conf/*/site.ini')))\n",
        before: "1",
        change: |site| site.write("conf/two/site.ini", "2"),
        after: "1 2",
    },
    Case {
        name: "a directory that the import tried to list is seen when it appears",
        files: &[],
        code: "import os\ntry:\n    SETTING = ' '.join(os.listdir(HERE / 'plugins'))\nexcept FileNotFoundError:\n    \
               SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir(site.path("new"))?;
            site.write("new/one", "")?;
            Ok(fs::rename(site.path("new"), site.path("plugins"))?)
        },
        after: "one",
    },
    Case {
        name: "a file that exists() looked for is seen when it appears",
        files: &[],
        code: "import os.path\nSETTING = os.path.exists(os.path.join(HERE, 'maintenance'))\n",
        before: "False",
        change: |site| site.write("maintenance", ""),
        after: "True",
    },
    Case {
        name: "a file that exists() looked for is seen to be removed",
        files: &[("maintenance", "")],
        code: "SETTING = (HERE / 'maintenance').exists()\n",
        before: "True",
        change: |site| Ok(fs::remove_file(site.path("maintenance"))?),
        after: "False",
    },
    Case {
        name: "what os.stat, os.access and isdir did not find, by relative names, is seen when it appears",
        files: &[],
        code: "import os\nos.chdir(HERE)\ndef has(name):\n    try:\n        return bool(os.stat(name, dir_fd=None))\n    \
               except OSError:\n        return False\n\
               SETTING = [has(b'one'), os.access('two', os.R_OK), os.path.isdir('three')]\n",
        before: "[False, False, False]",
        change: |site| {
            fs::create_dir(site.path("new"))?;
            for name in ["one", "two"] {
                site.write(&format!("new/{name}"), "")?;
            }
            for name in ["one", "two"] {
                fs::rename(site.path("new").join(name), site.path(name))?;
            }
            Ok(fs::rename(site.path("new"), site.path("three"))?)
        },
        after: "[True, True, True]",
    },
    Case {
        name: "a change of a file that was opened with r+ is seen",
        files: &[("state", "1")],
        code: "with open(HERE / 'state', 'r+') as state:\n    SETTING = state.read()\n",
        before: "1",
        change: |site| site.write("state", "22"),
        after: "22",
    },
    Case {
        name: "a change of a file that was opened with a+ is seen",
        files: &[("state", "1")],
        code: "with open(HERE / 'state', 'a+') as state:\n    state.seek(0)\n    SETTING = state.read()\n",
        before: "1",
        change: |site| site.write("state", "22"),
        after: "22",
    },
    Case {
        name: "files that are named relative to a directory's descriptor are seen when they appear and change",
        files: &[("conf/there", "1")],
        code: "import os\ndirectory = os.open(HERE / 'conf', os.O_RDONLY)\ndef read(name):\n    try:\n        \
               file = os.open(name, os.O_RDONLY, dir_fd=directory)\n    except FileNotFoundError:\n        return 'none'\n    \
               with open(file) as text:\n        return text.read()\n\
               SETTING = read('there') + ' ' + read('absent')\nos.close(directory)\n",
        before: "1 none",
        change: |site| {
            site.write("conf/absent", "2")?;
            site.write("conf/there", "11")
        },
        after: "11 2",
    },
];
