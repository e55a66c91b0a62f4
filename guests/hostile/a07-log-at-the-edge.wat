;; Writes a line to the log at every depth of a recursion, down to the end of the stack.
;;@frame event
;;@use imports/log
;;@core
(func $deeper (result i32)
  (call $log (i32.const 2) (i32.const 1024) (i32.const 4))
  (i32.add (call $deeper) (i32.const 1)))
;;@handle
(drop (call $deeper))
