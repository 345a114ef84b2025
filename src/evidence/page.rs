//! One printable page about a certificate, Chinese and English side by side, in the order in which a court asks: time,
//! place, person, before, during, after.
//!
//! The page is a reading of the certificate and proves nothing by itself; it says so, and how to check. It has no
//! scripts and loads nothing.

use sha2::{Digest as _, Sha256};
use tacitly_attestation::certificate::{Anchoring, Finality, Gap, Trust, Verdict};
use tacitly_attestation::entry::{Attendance, Participant};
use tacitly_attestation::policy::{Policy, Quorum};

use super::html::Html;
use super::{Refused, about, answers, check};

const STYLE: &str = "
:root { color: #111; background: #fff; font: 14px/1.5 'Noto Sans CJK SC', 'Source Han Sans SC', 'PingFang SC',
  'Microsoft YaHei', system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; border-bottom: 3px double #111; padding-bottom: .4rem; }
h2 { font-size: 1.15rem; margin: 1.6rem 0 .4rem; border-bottom: 1px solid #999; break-after: avoid; }
h3 { font-size: 1rem; margin: .9rem 0 .3rem; break-after: avoid; }
h1 span + span, h2 span + span { font-weight: normal; color: #555; margin-left: .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #ccc; padding: .25rem .5rem; text-align: left; vertical-align: top; }
th { width: 15rem; font-weight: normal; background: #f4f4f4; }
th span { display: block; }
th span + span { color: #555; font-size: .85em; }
td { overflow-wrap: anywhere; }
tr { break-inside: avoid; }
ul { margin: 0; padding-left: 1.1rem; }
.both { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; color: #333; break-inside: avoid; }
.both p { margin: .4rem 0; }
.levels td { font-weight: bold; }
.warn { border: 2px solid #a00; padding: 0 .6rem; margin: .6rem 0; }
code { font: 12px/1.4 'DejaVu Sans Mono', monospace; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; font-size: 10pt; } a { color: inherit; } }
@page { size: A4; margin: 15mm; }
";

/// Checks a certificate and writes the page about it.
///
/// # Errors
/// [`Refused`]: there is no page about a certificate that does not hold.
pub fn page(certificate: &[u8], policy: Option<&Policy>) -> Result<(String, Verdict), Refused> {
    let verdict = check(certificate, policy)?;
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(certificate));
    Ok((render(&verdict, &digest), verdict))
}

fn render(verdict: &Verdict, digest: &str) -> String {
    let mut html = Html::default();
    html.tag("<!doctype html>\n<html lang=zh-Hans>\n<head>\n<meta charset=utf-8>\n")
        .tag("<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\n")
        .tag("<meta name=viewport content=\"width=device-width\">\n<title>")
        .text("电子证据证书 / Certificate of evidence ")
        .text(&verdict.manifest.certificate.to_string())
        .tag("</title>\n<style>")
        .tag(STYLE)
        .tag("</style>\n</head>\n<body>\n<h1><span lang=zh-Hans>电子证据证书</span> <span lang=en>Certificate of evidence</span></h1>\n");
    facts(&mut html, verdict, digest);
    levels(&mut html, verdict);
    answers::time(&mut html, verdict);
    answers::place(&mut html, verdict);
    answers::person(&mut html, verdict);
    answers::before(&mut html, verdict);
    answers::during(&mut html, verdict);
    answers::after(&mut html, verdict);
    limits(&mut html, verdict);
    method(&mut html);
    html.tag("</body>\n</html>\n");
    html.into_string()
}

fn facts(html: &mut Html, verdict: &Verdict, digest: &str) {
    html.tag("<table>\n");
    html.row(("证书编号", "Certificate"), &verdict.manifest.certificate.to_string());
    if let Some(about) = about(verdict) {
        html.row(("任务编号", "Job"), &about.job);
    }
    html.row(("出具方", "Issuer"), verdict.manifest.issuer.as_str());
    html.row(("证书文件 SHA-256", "SHA-256 of the certificate file"), digest);
    html.row(("信任规则摘要", "Digest of the policy in it"), &verdict.policy.digest().to_string());
    html.row(("生成程序", "Written by"), verdict.manifest.tool.as_str());
    html.row(("核验程序", "Checked by"), concat!("tacitly ", env!("CARGO_PKG_VERSION")));
    html.tag("</table>\n");
    if verdict.trust == Trust::Snapshot {
        html.tag("<div class=warn>").both((
            "本页依据证书自带的公钥核验，只说明文件前后一致、由持有这些密钥者签署。密钥属于谁，须另行核实（--policy）。",
            "Checked with the keys in the certificate itself: the file is consistent, and whoever holds these keys signed \
             it. Whose keys they are must be known from elsewhere (--policy).",
        ));
        html.tag("</div>\n");
    }
}

fn levels(html: &mut Html, verdict: &Verdict) {
    let levels = &verdict.levels;
    html.heading(("证明等级", "Levels reached")).tag("<table class=levels>\n");
    let signed: Vec<&str> = levels.signed.iter().map(|party| party.as_str()).collect();
    html.row(("已签名", "Signed"), &format!("是 yes: {}", signed.join(", ")));
    let included = match &levels.included {
        Some(place) => format!("是 yes: {} / {}", place.index, place.size),
        None => "否 no".to_owned(),
    };
    html.row(("已入日志", "Included"), &included);
    let witnessed = match &levels.witnessed {
        Some(standing) => {
            let verdict = match standing.quorum {
                Quorum::Met => "是 yes",
                Quorum::Missed => "不足 too few",
                Quorum::NotAsked => "未要求 none asked",
            };
            format!("{verdict}: {} / {}", standing.cosigned.len(), standing.of)
        }
        None => "否 no".to_owned(),
    };
    html.row(("已见证", "Witnessed"), &witnessed);
    let anchored = match &levels.anchored {
        Anchoring::None => "否 no",
        Anchoring::NotChecked => "有证明，未核验 a proof that was not checked",
        Anchoring::Proven { finality: Finality::Proven, .. } => "是 yes",
        Anchoring::Proven { finality: Finality::NotProven, .. } => "是，终局性未证明 yes, finality not proven",
    };
    html.row(("已上链锚定", "Anchored"), anchored);
    html.tag("</table>\n");
}

fn limits(html: &mut Html, verdict: &Verdict) {
    html.heading(("证明范围", "What this proves")).both((
        "证明：上列机构签署了上述内容，最迟于见证时间已经形成，此后未被更改。不证明：输入数据真实、未记录的往来不存在、\
         计算实际使用了所登记的数据集。",
        "It proves that these institutions stated these bytes, no later than the cosignatures' times, unchanged since. It \
         does not prove that inputs were true, that nothing went unrecorded, or that the dataset on record is the one \
         that was computed on.",
    ));
    job_limits(html, verdict);
}

/// What a certificate of a job leaves open, in its own names.
fn job_limits(html: &mut Html, verdict: &Verdict) {
    let gaps = verdict.gaps();
    let agreement = verdict.agreement();
    if agreement.is_none() && gaps.is_empty() {
        return;
    }
    html.tag("<table>\n");
    if let Some(agreement) = agreement {
        let (signed, absent): (Vec<_>, Vec<_>) =
            agreement.parties.iter().partition(|party| party.attendance == Attendance::Signs);
        let names = |parties: &[&Participant]| match parties {
            [] => "无 none".to_owned(),
            parties => parties.iter().map(|party| party.party.as_str()).collect::<Vec<_>>().join(", "),
        };
        html.row(("签署约定的参与方", "Parties that signed the agreement"), &names(&signed));
        html.row(("缺席、未签署的参与方", "Absent parties, which did not sign"), &names(&absent));
    }
    for gap in gaps {
        match gap {
            Gap::Agreement(leaf) => {
                html.row(("约定条目未附，内容未证明", "Agreement not attached, not shown"), &leaf.to_string());
            }
            Gap::Query(leaf) => {
                html.row(("查询条目未附，内容未证明", "Question not attached, not shown"), &leaf.to_string());
            }
            Gap::Dataset { party, leaf } => {
                let shown = format!("{party} · {leaf}");
                html.row(("数据集条目未附，内容未证明", "Data set's entry not attached, not shown"), &shown);
            }
        }
    }
    html.tag("</table>\n");
    html.both((
        "各附件条目由其记录方签名；它们在各自日志中的位置未在此证明。结果条目只陈述其记录方所见，其他参与方的结果不在其中。",
        "Each attached entry is signed by its recorder; where it stands in that party's log is not shown here. A result \
         states what its recorder saw; what the other parties received is not in it.",
    ));
}

fn method(html: &mut Html) {
    html.heading(("核验方法", "How to check")).both((
        "本页仅供阅读，证据是证书文件本身。可离线运行下列命令核验；也可按 RFC 6962、Ed25519（RFC 8032）与 C2SP 公开规范手工核验。",
        "This page is for reading; the evidence is the certificate file. Check it offline with the command below, or by \
         hand under RFC 6962, Ed25519 (RFC 8032) and the public C2SP specifications.",
    ));
    html.tag("<p><code>tacitly evidence verify FILE --policy POLICY</code></p>\n");
}
