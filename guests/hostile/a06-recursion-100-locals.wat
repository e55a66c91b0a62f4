;; Calls itself without end, with 100 values that live across the call.
;;@frame event
;;@core
(func $deeper (result i64)
;;@times 100 (i64.load (i32.const {n}))
(call $deeper)
;;@times 100 (i64.add)
)
;;@handle
(drop (call $deeper))
