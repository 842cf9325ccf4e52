//! Writes the layout of an image: its blobs, named after their digests, and the index that leads to them.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType};

use super::documents::{
    CONFIG, Config, Descriptor, Execution, INDEX, Index, LAYER, Labels, MANIFEST, Manifest, Mark,
    Platform, Saved,
};
use super::layer::{self, Layer};
use super::place::{Destination, MARK, Place};
use super::reference::Reference;
use super::{Architecture, digest};
use crate::clock;
use crate::package::collect::Item;

const BLOBS: &str = "blobs/sha256";
/// The name that a tag has in a layout, and the one that `docker` and `podman` give the image.
const TAG_ANNOTATION: &str = "org.opencontainers.image.ref.name";
const NAME_ANNOTATION: &str = "io.containerd.image.name";

/// All that an image is made of.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) reference: Reference,
    pub(crate) labels: Labels,
    /// For all files, and for the image itself, in seconds since 1970.
    pub(crate) time: u64,
    /// In the order of their architectures.
    pub(crate) codes: BTreeMap<Architecture, Code>,
}

/// The code for one architecture.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) items: Vec<Item>,
    /// The port that the server listens on unless its environment names another one.
    pub(crate) port: u16,
}

/// An image that was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// What a registry would call the image by.
    pub(crate) digest: String,
    pub(crate) layers: Vec<(Architecture, Layer)>,
}

impl Image {
    /// Writes the image as a whole, or not at all.
    pub(crate) fn write(&self, destination: &Destination) -> io::Result<Written> {
        let place = Place::beside(destination.path())?;
        let layout = Layout::begin(&place.path().join("layout"))?;
        let mut manifests = Vec::new();
        let mut layers = Vec::new();
        let mut saved = Vec::new();
        for (architecture, code) in &self.codes {
            let (manifest, layer, entry) = self.add_one(&layout, *architecture, code)?;
            manifests.push(manifest);
            layers.push((*architecture, layer));
            saved.push(entry);
        }
        let mut top = match manifests.as_slice() {
            [only] => only.clone(),
            _ => layout.add(INDEX, &Index::new(manifests, self.labels.clone()))?,
        };
        let written = Written {
            digest: top.digest.clone(),
            layers,
        };
        top.annotations = Labels::from([
            (TAG_ANNOTATION.to_owned(), self.reference.tag().to_owned()),
            (NAME_ANNOTATION.to_owned(), self.reference.full()),
        ]);
        layout.put("index.json", &Index::new(vec![top], Labels::new()))?;
        layout.put(MARK, &Mark::CURRENT)?;
        let made = match destination {
            Destination::Folder(_) => layout.root,
            Destination::File(_) => {
                if saved.len() == 1 {
                    layout.put("manifest.json", &saved)?;
                }
                layout.archive(&place.path().join("image.tar"), self.time)?
            }
        };
        place.publish(&made, destination)?;
        Ok(written)
    }

    fn add_one(
        &self,
        layout: &Layout,
        architecture: Architecture,
        code: &Code,
    ) -> io::Result<(Descriptor, Layer, Saved)> {
        let layer = layout.add_layer(&code.items, self.time)?;
        let execution = Execution::new(code.port, self.labels.clone());
        let created = clock::stamp_seconds(self.time);
        let config = Config::new(architecture, created, execution, layer.diff_id.clone());
        let config = layout.add(CONFIG, &config)?;
        let described = Descriptor {
            media_type: LAYER,
            digest: layer.digest.clone(),
            size: layer.len,
            platform: None,
            annotations: Labels::new(),
        };
        let saved = Saved {
            config: blob(&config.digest),
            repo_tags: [self.reference.short()],
            layers: [blob(&layer.digest)],
        };
        let manifest = Manifest::new(config, described, self.labels.clone());
        let mut manifest = layout.add(MANIFEST, &manifest)?;
        manifest.platform = Some(Platform::of(architecture));
        Ok((manifest, layer, saved))
    }
}

/// A layout that is being written.
struct Layout {
    root: PathBuf,
}

impl Layout {
    fn begin(root: &Path) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o755)
            .create(root.join(BLOBS))?;
        // Whatever the umask is.
        for folder in [root.to_owned(), root.join("blobs"), root.join(BLOBS)] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    fn add_layer(&self, items: &[Item], time: u64) -> io::Result<Layer> {
        let part = self.root.join(BLOBS).join("part");
        let layer = layer::write(items, time, &part)?;
        fs::set_permissions(&part, fs::Permissions::from_mode(0o644))?;
        fs::rename(part, self.root.join(blob(&layer.digest)))?;
        Ok(layer)
    }

    /// Adds a document as a blob.
    fn add(&self, media_type: &'static str, document: &impl Serialize) -> io::Result<Descriptor> {
        let text = serde_json::to_vec(document)?;
        let digest = digest(Sha256::new_with_prefix(&text));
        self.store(&blob(&digest), &text)?;
        Ok(Descriptor {
            media_type,
            digest,
            size: text.len() as u64,
            platform: None,
            annotations: Labels::new(),
        })
    }

    /// Adds a document by its name.
    fn put(&self, name: &str, document: &impl Serialize) -> io::Result<()> {
        self.store(name, &serde_json::to_vec(document)?)
    }

    fn store(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let path = self.root.join(name);
        // Two architectures may share a blob.
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        file.write_all(text)
    }

    /// Packs all of it into a tar, whose entries are in the order of their names.
    fn archive(&self, path: &Path, time: u64) -> io::Result<PathBuf> {
        let mut archive = Builder::new(BufWriter::new(File::create_new(path)?));
        for folder in ["blobs/", "blobs/sha256/"] {
            let mut header = layer::header(EntryType::Directory, 0o755, time);
            archive.append_data(&mut header, folder, io::empty())?;
        }
        let mut names = Vec::new();
        for (folder, prefix) in [(BLOBS, "blobs/sha256/"), ("", "")] {
            for entry in fs::read_dir(self.root.join(folder))? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    names.push(format!("{prefix}{}", entry.file_name().to_string_lossy()));
                }
            }
        }
        names.sort();
        for name in names {
            let file = File::open(self.root.join(&name))?;
            let len = file.metadata()?.len();
            let mut header = layer::header(EntryType::Regular, 0o644, time);
            layer::add_file(&mut archive, &mut header, &name, (file, len))?;
        }
        archive.into_inner()?.flush()?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
        Ok(path.to_owned())
    }
}

/// The path of a blob in its layout.
fn blob(digest: &str) -> String {
    format!("{BLOBS}/{}", digest.trim_start_matches("sha256:"))
}
