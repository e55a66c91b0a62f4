;; Has 60,000 functions, each of which has to be compiled.
;;@frame event
;;@core
;;@times 60000 (func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {n})))
