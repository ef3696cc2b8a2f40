//! Detached signatures of adapters' files: `NAME.wasm.minisig` beside `NAME.wasm`, by minisign
//! (<https://jedisct1.github.io/minisign/>).
//!
//! Only of the kind that minisign has made since 2021, over a hash of the file: a reader of the older one can be led to take
//! a signature for that of other bytes.
//!
//! A signature does not bind a name: whatever one of the keys has signed would do for every file. So a name in its trusted
//! comment, where minisign puts it, must be the file's.

use std::{
    io,
    path::{Path, PathBuf},
};

use minisign_verify::{Error, PublicKey, Signature};

use super::component::LoadError;
use crate::files;

/// Its four lines are much shorter, whatever the comments say.
const LONGEST: usize = 16 << 10;

/// Where the signature of a file stands.
pub(super) fn path_of(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".minisig");
    path.into()
}

/// What stands there.
pub(super) fn read(file: &Path) -> io::Result<Vec<u8>> {
    files::read(&path_of(file), LONGEST)
}

/// Refuses bytes that the signature beside the file does not say one of these keys has signed, or has signed under another
/// name than that of `named`, which stands elsewhere where the file is a copy.
pub(super) fn check(keys: &[PublicKey], bytes: &[u8], file: &Path, named: &Path) -> Result<(), LoadError> {
    let refuse = |message: String| Err(LoadError::new("signature", message));
    let place = path_of(file);
    let place = place.file_name().unwrap_or_default().display();
    let text = match read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return refuse(format!(
                "it is not signed: adapters.signed_by wants {place} beside it, which `minisign -S -m` on the file makes"
            ));
        }
        Err(error) => return refuse(format!("its signature {place} can't be read: {error}")),
    };
    let Ok(signature) = Signature::decode(&String::from_utf8_lossy(&text)) else {
        return refuse(format!("its signature {place} is damaged, or none of minisign's: make it again"));
    };
    let errors: Vec<Error> = keys.iter().filter_map(|key| key.verify(bytes, &signature, false).err()).collect();
    if errors.len() < keys.len() {
        let named = named.file_name().unwrap_or_default().display().to_string();
        return match signed_name(&signature).filter(|signed| *signed != named) {
            Some(signed) => refuse(format!(
                "its signature {place} is for a file of another name, {signed}: put the right file there, or sign it as {named}"
            )),
            None => Ok(()),
        };
    }
    if errors.iter().any(|error| matches!(error, Error::UnexpectedAlgorithm)) {
        return refuse(format!(
            "its signature {place} is of the kind of old: make it again with minisign 0.10 or newer"
        ));
    }
    if errors.iter().all(|error| matches!(error, Error::UnexpectedKeyId)) {
        return refuse(format!("its signature {place} is by none of the {} keys of adapters.signed_by", keys.len()));
    }
    refuse(format!("its signature {place} is not of this content: one of the two is another one's, or was changed"))
}

/// What minisign writes by itself: `timestamp:1556193335\tfile:NAME\thashed`. It is signed with the rest.
fn signed_name(signature: &Signature) -> Option<&str> {
    signature.trusted_comment().split('\t').find_map(|part| part.strip_prefix("file:"))
}
