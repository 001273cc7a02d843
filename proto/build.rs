//! Generates the crate: the public API from a published descriptor set, the rest from the files below `proto/`.

#![allow(clippy::print_stdout, reason = "it is how a build script talks to cargo")]

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost::Message;
use prost_types::FileDescriptorSet;
use protox::file::{ChainFileResolver, DescriptorSetFileResolver, IncludeFileResolver};

/// What the public API consists of; everything these files import comes along.
const PUBLIC: [&str; 5] = [
    "temporal/api/workflowservice/v1/service.proto",
    "temporal/api/operatorservice/v1/service.proto",
    "temporal/api/errordetails/v1/message.proto",
    "temporal/api/sdk/v1/workflow_metadata.proto",
    "google/rpc/status.proto",
];

/// Packages that annotate others: descriptors refer to them, code does not.
const OPTIONS: [&str; 3] = ["google.api", "nexusannotations.v1", "temporal.api.protometa.v1"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let published =
        env::var_os("DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH").ok_or("no descriptor set of the public API")?;
    let own = Path::new("proto");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", own.display());
    println!("cargo:rerun-if-changed={}", Path::new(&published).display());

    let mut files = compile(own, &fs::read(published)?)?;
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;

    files.file.retain(|file| !OPTIONS.contains(&file.package()));
    let mut config = prost_build::Config::new();
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com").bytes(["."]).btree_map(["."]);
    tonic_prost_build::configure()
        .build_transport(false)
        // An RPC that is not built answers UNIMPLEMENTED; the frontend adds its name.
        .generate_default_stubs(true)
        .client_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .emit_rerun_if_changed(false)
        .include_file("packages.rs")
        .compile_fds_with_config(files, config)?;
    Ok(())
}

/// All files of ours and of the public API with everything they import, without comments and positions.
fn compile(own: &Path, published: &[u8]) -> Result<FileDescriptorSet, Box<dyn Error>> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(IncludeFileResolver::new(own.to_path_buf()));
    resolver.add(DescriptorSetFileResolver::decode(published)?);
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(false);
    compiler.open_files(PUBLIC)?;
    for file in proto_files(own)? {
        compiler.open_file(file)?;
    }
    let mut files = compiler.file_descriptor_set();
    for file in &mut files.file {
        file.source_code_info = None;
    }
    Ok(files)
}

/// Every `.proto` file below `dir`, in a fixed order.
fn proto_files(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
