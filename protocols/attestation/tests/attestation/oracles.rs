//! The same numbers as four independent implementations. Values cross as bytes.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::hash::{Hash, leaf_hash};
use tacitly_attestation::note::{KeyUse, Note, NoteSignature, VerifierKey};
use tacitly_attestation::policy::{Policy, Quorum};
use tacitly_attestation::tree::{
    MemoryTree, Tile, TileKind, prove_consistency, prove_inclusion, root_at, verify_consistency, verify_inclusion,
};
use tacitly_attestation::witness::{AddCheckpoint, WitnessState};

use super::support::{NOW, key, levels, signer};

const LARGEST: u64 = 130;

fn joined(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[test]
fn ct_merkle_computes_the_same_roots_and_proofs_and_accepts_ours() {
    let mut theirs = MemoryBackedTree::<sha2::Sha256, [u8; 8]>::new();
    let log = levels(LARGEST);
    let mut roots = vec![theirs.root()];
    for new in 1..=LARGEST {
        theirs.push((new - 1).to_be_bytes());
        let root = theirs.root();
        assert_eq!(root.as_bytes().as_slice(), root_at(&mut &log, new).unwrap().0, "{new}");
        for index in 0..new {
            let proof = theirs.prove_inclusion(index as usize);
            let ours = prove_inclusion(&mut &log, index, new).unwrap();
            assert_eq!(proof.as_bytes(), joined(&ours), "{index} of {new}");
            root.verify_inclusion(&index.to_be_bytes(), index, &proof).unwrap();
        }
        for (old, old_root) in roots.iter().enumerate().skip(1) {
            let proof = theirs.prove_consistency(new as usize - old);
            let ours = prove_consistency(&mut &log, old as u64, new).unwrap();
            assert_eq!(proof.as_bytes(), joined(&ours), "{old} to {new}");
            root.verify_consistency(old_root, &proof).unwrap();
        }
        roots.push(root);
    }
}

struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

#[test]
fn tlog_tiles_computes_the_same_roots_and_proofs_and_accepts_ours() {
    let log = levels(LARGEST);
    let mut stored = Stored(Vec::new());
    for new in 1..=LARGEST {
        let more = tlog_tiles::stored_hashes(new - 1, &(new - 1).to_be_bytes(), &stored).unwrap();
        stored.0.extend(more);
        let root = root_at(&mut &log, new).unwrap();
        let their_root = tlog_tiles::tree_hash(new, &stored).unwrap();
        assert_eq!(their_root.0, root.0);
        for index in 0..new {
            let proof = prove_inclusion(&mut &log, index, new).unwrap();
            let theirs = tlog_tiles::prove_record(new, index, &stored).unwrap();
            assert_eq!(theirs.iter().map(|hash| Hash(hash.0)).collect::<Vec<_>>(), proof, "{index} of {new}");
            let leaf = leaf_hash(&index.to_be_bytes());
            tlog_tiles::check_record(&theirs, new, their_root, index, tlog_tiles::Hash(leaf.0)).unwrap();
            verify_inclusion(&leaf, index, new, &proof, &root).unwrap();
        }
        for old in 1..=new {
            let proof = prove_consistency(&mut &log, old, new).unwrap();
            let theirs = tlog_tiles::prove_tree(new, old, &stored).unwrap();
            assert_eq!(theirs.iter().map(|hash| Hash(hash.0)).collect::<Vec<_>>(), proof, "{old} to {new}");
            let old_root = root_at(&mut &log, old).unwrap();
            tlog_tiles::check_tree(&theirs, new, their_root, old, tlog_tiles::Hash(old_root.0)).unwrap();
            verify_consistency(old, &old_root, new, &root, &proof).unwrap();
        }
    }
}

#[test]
fn tlog_tiles_names_the_same_files() {
    for (old, new) in
        [(0, 1), (0, 255), (0, 256), (255, 257), (0, 70_000), (65_535, 65_537), (1 << 32, (1 << 32) + 300)]
    {
        let mut theirs: Vec<String> =
            tlog_tiles::Tile::new_tiles(8, old, new).iter().map(tlog_tiles::Tile::path).collect();
        let hashes = Tile::changed(old, new).filter(|tile| tile.kind != TileKind::Entries);
        let mut ours: Vec<String> = hashes.map(|tile| tile.to_string()).collect();
        // Theirs spell the height of a tile, which the specification fixes and leaves out.
        theirs.iter_mut().for_each(|path| *path = path.replace("tile/8/", "tile/"));
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{old} to {new}");
    }
}

#[test]
fn tlog_tiles_reads_the_same_checkpoints() {
    for text in [
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nextension\n",
        "log\n01\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "log\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF=\n",
        "log\n1\n",
        "\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "log\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",
    ] {
        let ours = Checkpoint::parse(text);
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes());
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{text}");
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            assert_eq!(ours.origin, theirs.origin());
            assert_eq!((ours.size, ours.root.0), (theirs.size(), theirs.hash().0));
            assert_eq!(ours.to_string().as_bytes(), theirs.to_bytes());
        }
    }
}

#[test]
fn signed_note_makes_the_same_keys_and_signatures_and_verifies_ours() {
    for name in ["bank-a", "bank-a.example/log", "例.example"] {
        let ours = signer(name);
        let seed = data_encoding::BASE64.encode(&[&[0x01][..], &ours.private.to_bytes()].concat());
        let their_signer =
            signed_note::StandardSigner::new(&format!("PRIVATE+KEY+{name}+{:08x}+{seed}", ours.public.id())).unwrap();
        let their_key = signed_note::StandardVerifier::new(&ours.public.to_string()).unwrap();
        let text = "any text\n\nwith two parts\n";

        let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        theirs.add_sigs(&[&their_signer]).unwrap();
        let mut note = Note::new(text.to_owned()).unwrap();
        note.add(NoteSignature::sign(text, &ours.public, &ours.private).unwrap());
        assert_eq!(note.encode(), theirs.to_bytes());

        let read = signed_note::Note::from_bytes(&note.encode()).unwrap();
        let verifiers = signed_note::VerifierList::new(vec![Box::new(their_key)]);
        assert_eq!(read.verify(&verifiers).unwrap().0.len(), 1);
    }
}

/// A log that speaks sigsum: its origin is the hash of its key.
fn sigsum_origin(key: &VerifierKey) -> String {
    format!("sigsum.org/v1/tree/{}", data_encoding::HEXLOWER.encode(&Hash::of(key.public()).0))
}

/// The 64 bytes at the end of a signature line.
fn signature_of(signature: &NoteSignature) -> [u8; 64] {
    let line = signature.to_string();
    let bytes = data_encoding::BASE64.decode(line.rsplit_once(' ').unwrap().1.as_bytes()).unwrap();
    *bytes.last_chunk().unwrap()
}

/// Everything from the leaf to the quorum: our log, our witnesses and our policy, verified by sigsum's verifier.
#[test]
fn sigsum_verifies_our_log_and_agrees_on_every_quorum() {
    let anonymous = key("log", KeyUse::Text);
    let origin = sigsum_origin(&anonymous.public);
    let log = VerifierKey::of(&origin, KeyUse::Text, &anonymous.private).unwrap();
    let submitter = signer("submitter");
    let names = ["w1", "w2", "w3", "w4"];
    let keys: Vec<_> = names.iter().map(|name| key(&format!("{name}.example/witness"), KeyUse::Cosignature)).collect();

    let message = sigsum::Hash::new(b"message");
    let checksum = sigsum::Hash::new(message.as_ref());
    let signed = [b"sigsum.org/v1/tree-leaf\x00".as_slice(), checksum.as_ref()].concat();
    let leaf_signature = tacitly_attestation::note::Signer::sign(&submitter.private, &signed).unwrap();
    let keyhash = Hash::of(submitter.public.public());
    let leaf = [checksum.as_ref(), &leaf_signature, &keyhash.0].concat();

    let mut tree = MemoryTree::new();
    (0..37u64)
        .for_each(|index| tree.push(if index == 22 { leaf_hash(&leaf) } else { leaf_hash(&index.to_be_bytes()) }));
    let checkpoint = Checkpoint { origin: origin.clone(), size: 37, root: tree.root(), extensions: vec![] };
    let mut signed = SignedCheckpoint::new(&checkpoint).unwrap();
    signed.sign(&log, &anonymous.private).unwrap();
    let state = WitnessState::new(&origin, [log.clone()].into_iter().collect());
    let request = AddCheckpoint { old: 0, proof: vec![], checkpoint: signed.clone() };
    let stored = state.consider(&request, NOW).unwrap().stored();
    let lines: Vec<NoteSignature> = keys.iter().map(|key| stored.cosign(&key.public, &key.private).unwrap()).collect();

    let groups = [
        "group g 2 w1 w2 w3\nquorum g\n",
        "group g all w1 w2\ngroup h any g w3\nquorum h\n",
        "quorum w4\n",
        "quorum none\n",
    ];
    for group in groups {
        let (mut ours, mut theirs) = (format!("log {log}\n"), format!("log {}\n", hex(log.public())));
        for (name, key) in names.iter().zip(&keys) {
            ours += &format!("witness {name} {}\n", key.public);
            theirs += &format!("witness {name} {}\n", hex(key.public.public()));
        }
        let ours = Policy::parse(&(ours + group)).unwrap();
        let theirs = sigsum::Policy::parse(&(theirs + group)).unwrap();
        for present in 0..16u32 {
            let here = |at: &usize| present >> at & 1 == 1;
            let mut cosigned = signed.clone();
            (0..4).filter(here).for_each(|at| cosigned.add(lines[at].clone()));
            let quorum = ours.judge(&cosigned).unwrap().quorum;

            let mut text = format!(
                "version=2\nlog={}\nleaf={} {}\n\nsize=37\nroot_hash={}\nsignature={}\n",
                hex(&Hash::of(log.public()).0),
                hex(&keyhash.0),
                hex(&leaf_signature),
                hex(&tree.root().0),
                hex(&signature_of(&signed.signatures()[0])),
            );
            for at in (0..4).filter(here) {
                let keyhash = hex(&Hash::of(keys[at].public.public()).0);
                text += &format!("cosignature={keyhash} {NOW} {}\n", hex(&signature_of(&lines[at])));
            }
            text += "\nleaf_index=22\n";
            for hash in prove_inclusion(&mut &tree, 22, 37).unwrap() {
                text += &format!("node_hash={}\n", hex(&hash.0));
            }
            let signature = sigsum::SigsumSignature::from_ascii(&text).unwrap();
            let submitters = [sigsum::PublicKey::from(*submitter.public.public())];
            let verified = sigsum::verify(&message, &signature, &submitters, &theirs);
            assert_eq!(verified.is_ok(), quorum != Quorum::Missed, "{group} {present:04b}: {verified:?}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
