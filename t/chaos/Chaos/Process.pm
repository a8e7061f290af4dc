# Processes of the harness: started in sessions of their own, known by pid, and ended with the harness whatever becomes of it.
# It must never signal a process that it did not start, or that is no child of one of these.
package Chaos::Process;

use strict;
use warnings;

use Carp qw(croak);
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

my %running; # pid => what it is
my $main_pid = $$;

# log: where its output goes. environment: variables, besides. input: a pipe to its standard input is opened ($self->{input});
# output: one from its standard output.
sub start {
    my ($class, %options) = @_;
    my ($child_in, $input, $output, $child_out);
    pipe $child_in, $input or croak "pipe: $!";
    pipe $output, $child_out or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if ($pid == 0) {
        POSIX::setsid();
        open STDIN, '<&', $options{input} ? $child_in : _null('<');
        open STDERR, '>>', $options{log} or POSIX::_exit(126);
        open STDOUT, '>&', $options{output} ? $child_out : \*STDERR;
        $ENV{$_} = $options{environment}{$_} for keys %{ $options{environment} // {} };
        { exec { $options{command}[0] } @{ $options{command} } }
        POSIX::_exit(127);
    }
    $running{$pid} = $options{command}[0];
    $input->autoflush(1);
    return bless { pid => $pid, options => \%options, $options{input} ? (input => $input) : (), $options{output} ? (output => $output) : () }, $class;
}

sub _null {
    my ($mode) = @_;
    open my $null, $mode, '/dev/null' or croak "/dev/null: $!";
    return $null;
}

sub pid { return $_[0]{pid} }

sub runs {
    my ($self) = @_;
    return 0 if $self->{ended};
    return 1 if waitpid($self->{pid}, WNOHANG) == 0;
    delete $running{ $self->{pid} };
    $self->{ended} = 1;
    return 0;
}

sub signal {
    my ($self, $signal) = @_;
    return $self->runs && kill $signal, $self->{pid};
}

sub await_end {
    my ($self, $seconds) = @_;
    my $deadline = time + $seconds;
    sleep 0.01 while $self->runs && time < $deadline;
    return !$self->runs;
}

# TERM, and KILL when that does not help.
sub stop {
    my ($self) = @_;
    $self->signal('CONT');
    $self->signal('TERM');
    return if $self->await_end(10);
    $self->signal('KILL');
    $self->await_end(5) or croak "$self->{options}{command}[0] cannot be ended";
    return;
}

# Children of this process by the name that ps shows: ([pid, name] ..).
sub children {
    my ($self) = @_;
    open my $list, '<', "/proc/$self->{pid}/task/$self->{pid}/children" or return;
    my @children;
    for my $pid (split ' ', <$list> // '') {
        open my $comm, '<', "/proc/$pid/comm" or next;
        chomp(my $name = <$comm> // next);
        push @children, [ $pid, $name ];
    }
    return @children;
}

END {
    if ($$ == $main_pid) {
        my $status = $?;
        for my $signal (qw(CONT TERM)) {
            kill $signal, $_ for keys %running;
        }
        my $deadline = time + 5;
        while (%running && time < $deadline) {
            waitpid($_, WNOHANG) != 0 and delete $running{$_} for keys %running;
            sleep 0.02;
        }
        kill 'KILL', $_ for keys %running;
        waitpid $_, 0 for keys %running;
        $? = $status;
    }
}

1;
