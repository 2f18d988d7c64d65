//! What the verifier says of the program.

use geminus_dataplane::object::OBJECT;
use geminus_dataplane::program::{Loaded, ProgramFailure};

use crate::home;

/// Instructions that the verifier may walk for the packet program. It gives up at 10^6 (`BPF_COMPLEXITY_LIMIT_INSNS`); the
/// rest is room for a kernel whose verifier prunes less than this one's. To be lowered, never raised.
const BUDGET: u32 = 120_000;

#[test]
fn the_verifier_walks_no_more_than_its_budget() {
    let mut loaded = Loaded::new(&home::sizes(1), None).unwrap_or_else(|error| panic!("{error}"));
    let twin = loaded.twin_program().expect("the object has the program").info().expect("the kernel tells");
    println!("{:?} instructions walked of the program for partners alone", twin.verified_instruction_count());
    let info = loaded.program().expect("the object has the program").info().expect("the kernel tells");
    let walked = info.verified_instruction_count().expect("Linux 5.16 and later tell");
    println!("{walked} instructions of {BUDGET} walked; {:?} bytes translated", info.size_translated());
    assert!(walked <= BUDGET, "the verifier walked {walked} instructions, the budget is {BUDGET}");
}

#[test]
fn a_refusal_names_the_kernel_and_shows_the_end_of_the_log() {
    let broken = broken_object();
    let error = Loaded::from_object(&broken, &home::sizes(1), None)
        .expect_err("the program reads what is not its own");
    let ProgramFailure::Verifier { kernel, cause, log_tail } = &error else { panic!("{error:?}") };
    let release =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel tells its release");
    assert_eq!(kernel, release.trim());
    assert!(!cause.is_empty());
    assert!(log_tail.contains("invalid") && log_tail.contains("stack"), "{log_tail}");
    let text = error.to_string();
    assert!(text.contains(release.trim()) && text.contains(log_tail.as_str()), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

/// The object with one move of its largest function replaced by an instruction that reads below the stack.
fn broken_object() -> Vec<u8> {
    const MOVE: u8 = 0xbf;
    let object = aya_obj::Object::parse(OBJECT).expect("our own object");
    let code = object.functions.values().map(|function| &function.instructions).max_by_key(|code| code.len());
    let code = code.expect("a program has code");
    let start: Vec<u8> = code.iter().take(16).flat_map(bytes).collect();
    let at =
        OBJECT.windows(start.len()).position(|window| window == start).expect("the code is in the object");
    let broken_at = at + code.iter().position(|one| one.code == MOVE).expect("code moves registers") * 8;
    let mut broken = OBJECT.to_vec();
    // The same register = *(u64 *)(r10 - 1024)
    let register = broken[broken_at + 1] & 0xf;
    broken[broken_at..broken_at + 4].copy_from_slice(&[0x79, 0xa0 | register, 0x00, 0xfc]);
    broken
}

fn bytes(instruction: &aya_obj::generated::bpf_insn) -> Vec<u8> {
    let registers = instruction.dst_reg() | instruction.src_reg() << 4;
    let mut bytes = vec![instruction.code, registers];
    bytes.extend_from_slice(&instruction.off.to_le_bytes());
    bytes.extend_from_slice(&instruction.imm.to_le_bytes());
    bytes
}
