//! Laws of what an agent says and of what is believed of it.

mod kernel_text;
mod wire;
