;; Calls itself without end, with small frames.
;;@frame event
;;@core
(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))
;;@handle
(drop (call $deeper))
