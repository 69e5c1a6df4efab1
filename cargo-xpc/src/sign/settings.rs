//! What apple-codesign is told of one signature.

use apple_codesign::cryptography::DigestType;
use apple_codesign::{AppleCodesignError, CodeSignatureFlags, SettingsScope, SigningSettings};

use super::machine::Machine;
use super::{Identity, PlannedSignature, entitlements};

/// What a bundle gives its main executable to seal.
#[derive(Clone, Copy)]
pub(super) struct Sealed<'a> {
    pub info: &'a [u8],
    pub resources: &'a [u8],
}

/// Everything is set explicitly, and nothing imported from the file: an old signature passes on only what the plan took over.
///
/// A `SigningSettings` is bound to its thread: each architecture's signature has one made for it, from an identity that all share.
pub(super) fn settings<'a>(
    planned: &PlannedSignature,
    (machine, slice): (&Machine, usize),
    identity: &'a Identity,
    timestamp: Option<&str>,
    sealed: Option<Sealed<'_>>,
) -> Result<SigningSettings<'a>, Box<AppleCodesignError>> {
    let mut settings = SigningSettings::default();
    let all = SettingsScope::Main;
    settings.set_binary_identifier(all.clone(), &planned.identifier);
    if !planned.flags.is_empty() {
        settings.set_code_signature_flags(all.clone(), CodeSignatureFlags::from_bits_retain(planned.flags.0));
    }
    if let Some(content) = &planned.entitlements {
        let xml = entitlements::to_xml(content).map_err(AppleCodesignError::PlistSerializeXml)?;
        settings.set_entitlements_xml(all.clone(), xml)?;
    }
    if let Some(signer) = identity.signer() {
        signer.apply(&mut settings);
        if let Some(url) = timestamp {
            settings.set_time_stamp_url(url)?;
        }
    }
    if let Some(requirement) = &planned.compiled_requirement {
        settings.set_designated_requirement_bytes(all.clone(), requirement)?;
    }
    for constraint in &planned.launch_constraints {
        constraint.apply(&mut settings)?;
    }
    if machine.needs_sha1 {
        settings.set_digest_type(all.clone(), DigestType::Sha1);
        settings.add_extra_digest(all.clone(), DigestType::Sha256);
    }
    match sealed {
        Some(sealed) => {
            settings.set_info_plist_data(all.clone(), sealed.info.to_vec());
            settings.set_code_resources_data(all, sealed.resources.to_vec());
        }
        None => {
            if let Some(Some(info)) = machine.embedded_info.get(slice) {
                settings.set_info_plist_data(all, info.clone());
            }
        }
    }
    Ok(settings)
}
