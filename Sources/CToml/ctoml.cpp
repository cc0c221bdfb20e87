void gasclawd_placeholder(void) {}
