;; A core module instead of a component.
(module (func (export "handle") (param i32) (result i32) (i32.const 0)))
