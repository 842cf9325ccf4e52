//! The JSON documents of an image: of the image specification 1.1, the fields that are written here and no more.
//!
//! Types of our own: the crate that has all of them needs twelve crates that nothing else here does, and a license that
//! `deny.toml` does not list. `skopeo`, `umoci` and `runc` read what is written, in `tests/contract/images.rs`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Architecture, START, USER};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Names with values: labels of a config, annotations of the other documents.
pub(crate) type Labels = BTreeMap<String, String>;

/// Points to a blob.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: &'static str,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: Labels,
}

/// What an image of an index runs on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Platform {
    architecture: &'static str,
    os: &'static str,
}

impl Platform {
    pub(crate) const fn of(architecture: Architecture) -> Self {
        Self {
            architecture: architecture.name(),
            os: "linux",
        }
    }
}

/// The file that makes a folder a layout.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mark {
    image_layout_version: &'static str,
}

impl Mark {
    pub(crate) const CURRENT: Self = Self {
        image_layout_version: "1.0.0",
    };
}

/// The images of a layout, or those of one name for several architectures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    pub(crate) media_type: &'static str,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: Labels,
}

impl Index {
    pub(crate) const fn new(manifests: Vec<Descriptor>, annotations: Labels) -> Self {
        Self {
            schema_version: 2,
            media_type: INDEX,
            manifests,
            annotations,
        }
    }
}

/// One image for one architecture.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: [Descriptor; 1],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: Labels,
}

impl Manifest {
    pub(crate) const fn new(config: Descriptor, layer: Descriptor, annotations: Labels) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST,
            config,
            layers: [layer],
            annotations,
        }
    }
}

/// How an image runs, and what its layer is once decompressed.
#[derive(Debug, Serialize)]
pub(crate) struct Config {
    created: String,
    architecture: &'static str,
    os: &'static str,
    config: Execution,
    rootfs: Root,
    history: [Step; 1],
}

impl Config {
    pub(crate) fn new(
        architecture: Architecture,
        created: String,
        execution: Execution,
        diff_id: String,
    ) -> Self {
        let step = Step {
            created: created.clone(),
            created_by: "coldstart pack",
        };
        Self {
            created,
            architecture: architecture.name(),
            os: "linux",
            config: execution,
            rootfs: Root {
                kind: "layers",
                diff_ids: [diff_id],
            },
            history: [step],
        }
    }
}

/// What an engine starts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Execution {
    user: &'static str,
    exposed_ports: BTreeMap<String, Nothing>,
    entrypoint: [&'static str; 1],
    working_dir: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: Labels,
    stop_signal: &'static str,
}

impl Execution {
    pub(crate) fn new(port: u16, labels: Labels) -> Self {
        Self {
            user: USER,
            exposed_ports: BTreeMap::from([(format!("{port}/tcp"), Nothing {})]),
            entrypoint: [START],
            working_dir: "/code",
            labels,
            stop_signal: "SIGTERM",
        }
    }
}

/// An empty object, as Go's `struct{}` becomes one.
#[derive(Debug, Serialize)]
struct Nothing {}

#[derive(Debug, Serialize)]
struct Root {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: [String; 1],
}

#[derive(Debug, Serialize)]
struct Step {
    created: String,
    created_by: &'static str,
}

/// The one entry of `manifest.json`, which `docker load` before version 25 reads in place of the index.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    pub(crate) config: String,
    pub(crate) repo_tags: [String; 1],
    pub(crate) layers: [String; 1],
}
