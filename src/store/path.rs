//! Paths within the shared tree.

use std::fmt;

use super::StoreError;

/// Components longer than this exist on no file system we know, in octets.
const NAME_OCTETS: usize = 255;
/// The longest path that is taken, in octets.
const PATH_OCTETS: usize = 4096;
/// Names that begin so are Portico's own temporary files: never listed, served or written.
pub(crate) const RESERVED_PREFIX: &str = ".portico-";

/// An absolute path within the tree, normalised: no `.`, no `..`, no empty component, no NUL, no
/// reserved name. It can only come from here, so holding one means that the checks were made.
/// The root is `/`; no path ends in `/` otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VirtualPath(String);

impl VirtualPath {
    /// The root of the tree.
    pub(crate) fn root() -> VirtualPath {
        VirtualPath("/".into())
    }

    /// Reads `text` (decoded already) as a path relative to `self`, or absolute where it begins
    /// with `/`. `..` above the root stays at the root, as a shell's `cd` does.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for names that can't exist: NUL, too long, reserved.
    pub(crate) fn join(&self, text: &str) -> Result<VirtualPath, StoreError> {
        let mut parts: Vec<&str> = if text.starts_with('/') { Vec::new() } else { self.components().collect() };
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                _ if part.len() > NAME_OCTETS || part.contains('\0') || part.starts_with(RESERVED_PREFIX) => {
                    return Err(StoreError::NotFound);
                }
                _ => parts.push(part),
            }
        }
        let path = format!("/{}", parts.join("/"));
        if path.len() > PATH_OCTETS { Err(StoreError::NotFound) } else { Ok(VirtualPath(path)) }
    }

    /// An absolute path; see [`VirtualPath::join`].
    pub(crate) fn parse(text: &str) -> Result<VirtualPath, StoreError> {
        VirtualPath::root().join(text)
    }

    /// The path as text, with its leading `/`.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for the file system, relative to the tree's folder (`.` for the root).
    pub(crate) fn relative(&self) -> &str {
        if self.is_root() { "." } else { &self.0[1..] }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0 == "/"
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The last component; empty for the root.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The folder that holds this path; the root for the root.
    pub(crate) fn parent(&self) -> VirtualPath {
        match self.0.rfind('/') {
            Some(0) | None => VirtualPath::root(),
            Some(at) => VirtualPath(self.0[..at].to_owned()),
        }
    }

    /// Whether this path is `folder` or lies below it.
    pub(crate) fn is_within(&self, folder: &VirtualPath) -> bool {
        folder.is_root() || self == folder || self.0.strip_prefix(&folder.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// This path for somebody who sees `root` as the root; itself where it does not lie below.
    pub(crate) fn seen_from(&self, root: &VirtualPath) -> VirtualPath {
        match self.0.get(root.0.len()..) {
            Some("") => VirtualPath::root(),
            Some(rest) if !root.is_root() && self.is_within(root) => VirtualPath(rest.to_owned()),
            _ => self.clone(),
        }
    }

    /// What somebody who sees `root` as the root means by this path: the opposite of
    /// [`VirtualPath::seen_from`].
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it gets too long.
    pub(crate) fn below(&self, root: &VirtualPath) -> Result<VirtualPath, StoreError> {
        if root.is_root() { Ok(self.clone()) } else { root.join(self.0.trim_start_matches('/')) }
    }

    /// Whether any component begins with a dot.
    pub(crate) fn is_hidden(&self) -> bool {
        self.components().any(|part| part.starts_with('.'))
    }
}

impl fmt::Display for VirtualPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_traversal_stays_inside() {
        for (text, path) in [
            ("/", "/"),
            ("", "/"),
            ("/a//b/./c/", "/a/b/c"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("a/../../../b", "/b"),
            ("/...", "/..."),
            ("/..\\..", "/..\\.."),
        ] {
            assert_eq!(VirtualPath::parse(text).unwrap().as_str(), path);
        }
        for text in ["/a\0b", "/.portico-x", &"x".repeat(256), &"/a".repeat(3000)] {
            assert!(VirtualPath::parse(text).is_err());
        }
    }

    #[test]
    fn within_means_whole_components() {
        let folder = VirtualPath::parse("/~bob").unwrap();
        assert!(VirtualPath::parse("/~bob/x").unwrap().is_within(&folder));
        assert!(folder.is_within(&folder));
        assert!(!VirtualPath::parse("/~bobby").unwrap().is_within(&folder));
    }

    #[test]
    fn a_folder_may_be_seen_as_the_root() {
        for (root, path, seen) in [("/a/b", "/a/b/c", "/c"), ("/a", "/a", "/"), ("/", "/a", "/a"), ("/", "/", "/")] {
            let (root, path) = (VirtualPath::parse(root).unwrap(), VirtualPath::parse(path).unwrap());
            assert_eq!(path.seen_from(&root).as_str(), seen);
            assert_eq!(path.seen_from(&root).below(&root).unwrap(), path);
        }
        let (root, path) = (VirtualPath::parse("/a").unwrap(), VirtualPath::parse("/ab/c").unwrap());
        assert_eq!(path.seen_from(&root), path, "it lies elsewhere");
    }

    proptest! {
        #[test]
        fn a_path_read_again_is_itself(text in "[/.a-z~]{0,40}", base in "[/.a-z]{0,20}") {
            let path = VirtualPath::parse(&base).unwrap().join(&text).unwrap();
            prop_assert_eq!(&VirtualPath::parse(path.as_str()).unwrap(), &path);
            prop_assert!(path.components().all(|part| part != "." && part != ".."));
        }
    }
}
