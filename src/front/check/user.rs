//! The user with whose rights a check runs, from `/etc/passwd` and `/etc/group`.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cgi::variables::Variables;
use crate::system;

/// A user, with the groups that a server's process of that user has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::front) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(in crate::front) name: String,
    pub(super) home: PathBuf,
}

impl User {
    /// The user that this process runs as.
    pub(super) fn current() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        entry(&passwd, &uid.to_string()).unwrap_or_else(|| Self {
            uid,
            gid: rustix::process::getegid().as_raw(),
            groups: Vec::new(),
            name: uid.to_string(),
            home: PathBuf::from("/"),
        })
    }

    /// The user that root has named with `--as`. `verb`: the subcommand, for a message.
    pub(in crate::front) fn for_root(name: &str, verb: &str) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "--as {name:?} is for root: sudo cgi2wsgi {verb} --as {name:?} ..."
        );
        Self::named(name)
    }

    /// The first of these users that this machine has.
    pub(in crate::front) fn first_of(names: &[&str]) -> Option<Self> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let is_there = |name: &&&str| entry(&passwd, name).is_some_and(|user| user.name == **name);
        Self::named(names.iter().find(is_there)?).ok()
    }

    /// Removes from an environment what a shell of root has and a server's process of this user does not have.
    pub(in crate::front) fn make_own(&self, variables: &mut Variables) {
        for of_root in
            ["XDG_RUNTIME_DIR", "VIRTUAL_ENV", "SUDO_USER", "SUDO_UID", "SUDO_GID", "SUDO_COMMAND"]
        {
            variables.remove(of_root);
        }
        variables.set("HOME", self.home.as_os_str().as_encoded_bytes());
        variables.set("USER", self.name.as_bytes());
        variables.set("LOGNAME", self.name.as_bytes());
    }

    /// Makes this process, which root has forked for this purpose, permanently a process of this user, with all groups.
    pub(in crate::front) fn become_it(&self) -> io::Result<()> {
        system::become_user(self.uid, self.gid, &self.groups)
    }

    /// The user with this name or number.
    pub(super) fn named(name: &str) -> Result<Self> {
        let read = |path: &str| fs::read(path).map(|it| String::from_utf8_lossy(&it).into_owned());
        let passwd = read("/etc/passwd").unwrap_or_default();
        // A user of a directory service is not in the file.
        let mut user = entry(&passwd, name)
            .or_else(|| entry(&asked(&["getent", "passwd", "--", name]), name))
            .with_context(|| format!("--as {name:?}: this machine has no such user"))?;
        user.groups = groups(&read("/etc/group").unwrap_or_default(), &user);
        Ok(user)
    }

    /// As a message names it.
    pub(super) fn shown(&self) -> String {
        format!("user {}", self.name)
    }
}

fn asked(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// The user with this name; if there is none, with this number.
fn entry(passwd: &str, wanted: &str) -> Option<User> {
    let parsed = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        Some(User {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            groups: Vec::new(),
            name: (*name).to_owned(),
            home: home.into(),
        })
    };
    let users = || passwd.lines().filter_map(parsed);
    users()
        .find(|user| user.name == wanted)
        .or_else(|| users().find(|user| wanted.parse() == Ok(user.uid)))
}

fn groups(file: &str, user: &User) -> Vec<u32> {
    let mut all = vec![user.gid];
    for line in file.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members, ..] = fields.as_slice() else { continue };
        if members.split(',').any(|member| member == user.name)
            && let Ok(gid) = gid.parse()
            && !all.contains(&gid)
        {
            all.push(gid);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_or_a_number_and_groups() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nwww-data:x:33:34::/var/www:/bin/false\n";
        let mut user = entry(passwd, "www-data").expect("it is there");
        assert_eq!(entry(passwd, "33").as_ref(), Some(&user));
        assert!(entry(passwd, "nobody").is_none() && entry(passwd, "34").is_none());
        assert_eq!((user.uid, user.gid), (33, 34));
        user.groups = groups("a:x:5:www-data,ann\nb:x:6:ann\nc:x:7:ann,www-data\nd:x:34:\n", &user);
        assert_eq!(user.groups, [34, 5, 7]);
    }
}
